//! npm `oauth4webapi` reads the same tokens: nothing that it refuses may pass here.
