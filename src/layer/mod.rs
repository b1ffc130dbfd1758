//! From a layer's tar to objects and trees.
pub mod sink;
