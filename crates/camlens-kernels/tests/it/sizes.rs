//! Sizes at the edge of what the kernels take: maps of one row, maps longer than 16 bits can count,
//! channels that fill no block, empty tensors, and sizes whose product overflows.

use camlens_kernels::{Batch, ChainOutput, ScopedThreads};

use crate::reference::{Map, assert_close, chain, noise, run};

/// Part of a map `[C, H, W]`.
fn cut(map: &Map, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Map {
    let lines = map.data.chunks_exact(map.width).enumerate();
    let lines = lines.filter(|(line, _)| rows.contains(&(line % map.height)));
    let data = lines.flat_map(|(_, line)| &line[columns.clone()]).copied().collect();
    Map { data, height: rows.len(), width: columns.len() }
}

/// A tile's row once was 16 bits wide, so that from row 262,144 on two tiles were one.
#[test]
fn a_map_of_more_than_65536_tiles_on_a_side_matches_direct_convolution() {
    const LONG: usize = 300_000;
    const SHORT: usize = 6;
    /// How far from the end of a part its values depend on what was cut off.
    const MARGIN: usize = 4;
    let (chain, reference) = chain(&[3, 16, 17], 0b1101, 4);
    let last = [ChainOutput { layer: 1, pooled: true }];
    for is_tall in [true, false] {
        let turned = |long, short| if is_tall { [long, short] } else { [short, long] };
        let [height, width] = turned(LONG, SHORT);
        let mut next = noise(11);
        let data = (0..3 * height * width).map(|_| next()).collect();
        let image = Map { data, height, width };
        let batch = Batch { data: &image.data, images: 1, height, width };
        let data = run(&chain, batch, &last, &ScopedThreads(2), true).remove(0);
        let output = Map { data, height: height / 2, width: width / 2 };
        for (start, end) in [(0, 48), (262_120, 262_168), (LONG - 48, LONG)] {
            let part = |map: &Map, from: usize, to: usize, short: usize| {
                let [rows, columns] =
                    if is_tall { [from..to, 0..short] } else { [0..short, from..to] };
                cut(map, rows, columns)
            };
            let expected = reference.iter().fold(part(&image, start, end, SHORT), |map, layer| {
                layer.pooled(layer.convolve(&map))
            });
            let from = if start == 0 { 0 } else { MARGIN };
            let to = (end - start) / 2 - if end == LONG { 0 } else { MARGIN };
            assert_close(
                &part(&expected, from, to, SHORT / 2).data,
                &part(&output, start / 2 + from, start / 2 + to, SHORT / 2).data,
                &format!("tall: {is_tall}, positions {start}..{end}"),
            );
        }
    }
}
