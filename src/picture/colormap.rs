//! Colour tables: 256 levels to RGB.
//!
//! Tables that also exist in OpenCV (`cv::ColormapTypes`,
//! <https://docs.opencv.org/4.x/d3/d50/group__imgproc__colormap.html>) equal OpenCV's byte for
//! byte, because the Keras article and most published figures use them; matplotlib's `jet`, for
//! example, differs from OpenCV's. JET is computed from its formula, the others are OpenCV's
//! values, extracted by `tools colormaps`. The two diverging tables for signed maps, pale in the
//! middle, are matplotlib's `coolwarm` and `RdBu_r`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};

/// RGB colours by level, `[256, 3]`.
pub type Table = [[u8; 3]; 256];

/// A colour table for maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "these are the tables' established names")]
pub enum Colormap {
    #[default]
    Jet,
    Turbo,
    Viridis,
    Inferno,
    Magma,
    Plasma,
    Cividis,
    Gray,
    Coolwarm,
    RdBu,
}

static JET: Table = jet();
static TURBO: Table = from_rgb_bytes(include_bytes!("colormaps/turbo.bin"));
static VIRIDIS: Table = from_rgb_bytes(include_bytes!("colormaps/viridis.bin"));
static INFERNO: Table = from_rgb_bytes(include_bytes!("colormaps/inferno.bin"));
static MAGMA: Table = from_rgb_bytes(include_bytes!("colormaps/magma.bin"));
static PLASMA: Table = from_rgb_bytes(include_bytes!("colormaps/plasma.bin"));
static CIVIDIS: Table = from_rgb_bytes(include_bytes!("colormaps/cividis.bin"));
static GRAY: Table = gray();
static COOLWARM: Table = from_rgb_bytes(include_bytes!("colormaps/coolwarm.bin"));
static RDBU: Table = from_rgb_bytes(include_bytes!("colormaps/rdbu.bin"));

impl Colormap {
    /// Every table, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Jet,
        Self::Turbo,
        Self::Viridis,
        Self::Inferno,
        Self::Magma,
        Self::Plasma,
        Self::Cividis,
        Self::Gray,
        Self::Coolwarm,
        Self::RdBu,
    ];

    /// The name, in lower case, as [`FromStr`] parses it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jet => "jet",
            Self::Turbo => "turbo",
            Self::Viridis => "viridis",
            Self::Inferno => "inferno",
            Self::Magma => "magma",
            Self::Plasma => "plasma",
            Self::Cividis => "cividis",
            Self::Gray => "gray",
            Self::Coolwarm => "coolwarm",
            Self::RdBu => "rdbu",
        }
    }

    /// The table's RGB colours, from level 0 to 255.
    #[must_use]
    pub fn table(self) -> &'static Table {
        match self {
            Self::Jet => &JET,
            Self::Turbo => &TURBO,
            Self::Viridis => &VIRIDIS,
            Self::Inferno => &INFERNO,
            Self::Magma => &MAGMA,
            Self::Plasma => &PLASMA,
            Self::Cividis => &CIVIDIS,
            Self::Gray => &GRAY,
            Self::Coolwarm => &COOLWARM,
            Self::RdBu => &RDBU,
        }
    }
}

impl fmt::Display for Colormap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Colormap {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|colormap| colormap.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::new(
                Kind::Option,
                format!("There is no colormap {name:?}; available colormaps: {names}."),
            )
        })
    }
}

/// OpenCV's `COLORMAP_JET` (a table of floats in `modules/imgproc/src/colormap.cpp`).
///
/// With i = 0..=255: R = min(4i − 382.5, 1147.5 − 4i), G = min(4i − 127.5, 892.5 − 4i),
/// B = min(4i + 127.5, 637.5 − 4i), rounded half to even and clamped to 0..=255. Every such value
/// ends in .5, so the integers below are the values minus one half.
const fn jet() -> Table {
    let mut table = [[0; 3]; 256];
    let mut i = 0;
    while i < 256 {
        let x = 4 * i as i32;
        table[i] = [ramp(x - 383, 1147 - x), ramp(x - 128, 892 - x), ramp(x + 127, 637 - x)];
        i += 1;
    }
    // The one value of OpenCV's table that differs from the formula.
    table[159][2] = 1;
    table
}

/// `min(up, down) + ½`, rounded half to even and clamped to a byte.
const fn ramp(up: i32, down: i32) -> u8 {
    let low = if up < down { up } else { down };
    let even = low + (low & 1);
    if even < 0 {
        0
    } else if even > 255 {
        255
    } else {
        even as u8
    }
}

/// Maps each level to the gray of the same value.
const fn gray() -> Table {
    let mut table = [[0; 3]; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = [i as u8; 3];
        i += 1;
    }
    table
}

/// A table stored as 256 RGB triples.
const fn from_rgb_bytes(bytes: &[u8; 768]) -> Table {
    let mut table = [[0; 3]; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = [bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]];
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn tables_equal_opencv_s() {
        let sums = Colormap::ALL.map(|colormap| {
            let sum = Sha256::digest(colormap.table().as_flattened());
            let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{colormap} {hex}")
        });
        // SHA-256 of cv2.applyColorMap's output, OpenCV 4.11.0.
        assert_eq!(
            sums[..7],
            [
                "jet 661fa696672fecb0ffa3e76bff80e0119d8308227c361c0043f705d8c867faad",
                "turbo c4ae9ddb8a7f13561562fe15fd276fb55ab04e194786c39edfb2ef2cc0929b2b",
                "viridis 18545f7c72a02f02a54f2e3f6ff9dcf357e0190ab9117a1f8fae44c6eaf179e0",
                "inferno e24e8bd38b972989f64c42856b2b274df5ada3a62bc01bf8e83500a2ea938ad4",
                "magma f95197e8391d18e2c1db50f2a1ab8650ab7c2a9acb781704a8156872615f002b",
                "plasma 7463ac7565e754490c2c358e89b54a99da3e9b3c0be7734ed66b9fc78958b9a6",
                "cividis 40881f40490dc08ae8b1442b52b01c7169d27124ccb4a501cd0ee290079cc1e1",
            ]
        );
    }

    #[test]
    fn the_diverging_tables_equal_matplotlib_s_and_are_pale_in_the_middle() {
        for (colormap, sum) in [
            (
                Colormap::Coolwarm,
                "161fad279ef7b15f29821a492afe1365f2e253aeb6069ab6d562032d84b5ec6f",
            ),
            (Colormap::RdBu, "dc2f97fae8e1ee24890571a21a1a0e91ec14553c97c57edb0ee33c6413803625"),
        ] {
            let table = colormap.table();
            let hash = Sha256::digest(table.as_flattened());
            assert_eq!(
                hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                sum,
                "{colormap}"
            );
            let [red, green, blue] = table[128];
            assert!(
                red.abs_diff(green) <= 2 && green.abs_diff(blue) <= 2 && green >= 220,
                "{colormap}"
            );
            // Blue for negative values, red for positive ones.
            assert!(table[0][2] > table[0][0] && table[255][0] > table[255][2], "{colormap}");
        }
    }

    #[test]
    fn names_are_parsed_and_an_unknown_one_is_an_error_that_lists_them() {
        for colormap in Colormap::ALL {
            assert_eq!(colormap.name().parse::<Colormap>().unwrap(), colormap);
        }
        let error = "hot".parse::<Colormap>().unwrap_err();
        assert_eq!(error.kind(), Kind::Option);
        assert_eq!(
            error.to_string(),
            "There is no colormap \"hot\"; available colormaps: jet, turbo, viridis, inferno, \
             magma, plasma, cividis, gray, coolwarm, rdbu."
        );
    }
}
