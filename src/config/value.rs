//! Durations, rates, ratios, distributions: values as people write them. It must not know tables.
