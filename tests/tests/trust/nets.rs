//! Nets under routes are switched off by an enforced allow alone.
