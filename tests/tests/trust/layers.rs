//! Layers inside of layers: what the inner one finds replaces what the outer one left.
