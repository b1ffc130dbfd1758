//! placeholder
use super::{LayerTree, Tree};
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct CodecError;
pub fn encode_tree(_: &Tree) -> Vec<u8> {
    todo!()
}
pub fn decode_tree(_: &[u8]) -> Result<Tree, CodecError> {
    todo!()
}
pub fn encode_layer(_: &LayerTree) -> Vec<u8> {
    todo!()
}
pub fn decode_layer(_: &[u8]) -> Result<LayerTree, CodecError> {
    todo!()
}
