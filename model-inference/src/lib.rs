//! model-inference.
