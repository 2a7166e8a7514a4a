//! Part of midwatch.
