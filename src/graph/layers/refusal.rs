//! Why a tensor is no layer, in words: what was found, and how a manifest declares it.

use onnx_gradient::dtype;
use onnx_gradient::proto::NodeProto;

/// A tensor that holds no maps, as far as is known.
pub(super) struct Refused<'a> {
    pub(super) tensor: &'a str,
    pub(super) node: &'a NodeProto,
    pub(super) element_type: i32,
    /// As measured with `images` images.
    pub(super) sizes: Option<&'a [i64]>,
    pub(super) images: Option<i64>,
    pub(super) depends_on_image: bool,
}

impl Refused<'_> {
    /// The sentence for an error message.
    pub(super) fn reason(&self) -> String {
        format!("tensor '{}' ({}, {}) {}", self.tensor, self.node.op(), self.shape(), self.fault())
    }

    /// The sizes, with `N` for the images.
    fn shape(&self) -> String {
        let Some(sizes) = self.sizes else { return "of unknown shape".to_owned() };
        let size = |(axis, size): (usize, &i64)| match axis {
            0 if Some(*size) == self.images => "N".to_owned(),
            _ => size.to_string(),
        };
        format!("[{}]", sizes.iter().enumerate().map(size).collect::<Vec<_>>().join(", "))
    }

    fn fault(&self) -> String {
        if !self.depends_on_image {
            return "does not depend on the image".to_owned();
        }
        if !dtype::is_float(self.element_type) {
            return format!("holds {}, and maps are floats", dtype::name(self.element_type));
        }
        let untraced = "can't be traced to the image's rows and columns";
        match self.sizes {
            None => "can't be traced, because its shape differs from run to run".to_owned(),
            Some([_, positions @ ..]) if positions.len() < 2 => {
                "has no rows and columns; name a layer before the pooling".to_owned()
            }
            Some([_, _, 1, 1] | [_, 1, 1, _] | [_, 1, _]) => {
                "has a single position; name a layer before the pooling".to_owned()
            }
            Some([_, _, _, _]) => format!(
                "{untraced}; if it holds maps, declare it in model.toml: [layers] takes \
                 my_layer = \"{}\" for [N, C, h, w], or my_layer = {{ tensor = \"{}\", layout = \
                 \"nhwc\" }}",
                self.tensor, self.tensor
            ),
            Some([_, _, _]) => format!(
                "{untraced}; if its tokens [N, T, C] are positions of the image, declare their \
                 grid in model.toml: [tokens] takes grid = [rows, columns] and skip"
            ),
            Some(_) => format!(
                "{untraced}; name a tensor with the axes [N, C, h, w], [N, h, w, C] or [N, T, C], \
                 which model.toml can declare"
            ),
        }
    }
}
