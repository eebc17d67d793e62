//! Active health checks: when to probe, when a backend is down, back, or gone for good. It must not send anything.
