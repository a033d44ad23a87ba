//! Table of contents of the native engine.
