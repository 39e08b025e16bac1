//! The explanation methods, one file each, and the table that lists them.
//!
//! A method file exports a `SPEC`: its names, what it needs of the model, and the function that
//! computes its maps. [`table::METHODS`] collects the specs. Nothing that a method imports imports
//! the table, so a new method is one new file and one new row.

pub mod ablationcam;
pub mod eigencam;
pub mod eigengradcam;
pub mod gradcam;
pub mod gradcam_elementwise;
pub mod gradcam_plus_plus;
pub mod groupcam;
pub mod hirescam;
pub mod layercam;
pub mod random;
pub mod reciprocam;
pub mod scorecam;
pub mod smoothgradcam_plus_plus;
pub mod table;
pub mod xgradcam;
