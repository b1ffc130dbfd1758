//! zstd:chunked: a layer of which a reader may fetch single files. To everybody else it is a tar in zstd.
//!
//! ```text
//! headers │ content │ padding, headers │ content │ … │ TOC       │ tar-split │ footer
//! a frame │ a frame │ a frame          │ a frame │   │ skippable │ skippable │ skippable
//! ```
//!
//! The table of contents (TOC) has the metadata of every entry, the sha256 of its content and the place of that frame in the blob.
//! The tar-split has everything of the tar that is no content, so that the tar, and its diff_id, can be made from files that came
//! from anywhere. A reader finds both by annotations of the layer and believes them for their digests. The tar is read as it goes
//! through, by the rules of every reader of tars: what the table says is what the tar says, and a second pass is not needed.
//!
//! There is no specification; the format is what containers/storage writes and reads: `pkg/chunked/compressor/compressor.go`,
//! `pkg/chunked/internal/minimal/compression.go`, and for the tar-split `tar/storage/` of vbatts/tar-split. Theirs cuts large files
//! into several frames, which readers must know but writers need not do: here a file is one frame.

mod encoder;
mod entry;
mod frames;
mod packed;
mod tables;
mod tar_split;
mod toc;

pub(super) use encoder::Encoder;
