//! May a failed attempt be followed by another? Safety rules and the retry budget. It must not pick the backend.
