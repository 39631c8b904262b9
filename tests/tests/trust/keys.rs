//! Keys that are withdrawn, refreshed for an incident, or too old.
