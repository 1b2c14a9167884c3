//! What the product can do, once, for console, REST and command line.
