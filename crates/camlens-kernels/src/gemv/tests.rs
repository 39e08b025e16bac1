//! Both products against a 64-bit reference.

use super::matrix::{Matrix, Operands};
use super::{gemv, gemv_transposed, row_dots, row_sums};
use crate::executor::{Executor, ScopedThreads, Serial};
use crate::simd::Isa;

fn value(index: usize) -> f32 {
    ((index * 37 % 101) as f32 / 101.0) - 0.5
}

/// Where the inputs are zero: single elements, and a run of more than a block.
fn is_zero(index: usize) -> bool {
    index % 67 == 1 || (100..260).contains(&index)
}

/// Multiplies with a matrix at an odd address that holds NaN wherever nothing may be read, with
/// every available instruction set.
fn check(count: usize, [rows, columns]: [usize; 2], transposed: bool, executor: &dyn Executor) {
    let (input_len, output_len) = if transposed { (columns, rows) } else { (rows, columns) };
    let never_read = |row: usize, column: usize| {
        if transposed { (112..256).contains(&column) && columns > 256 } else { is_zero(row) }
    };
    let matrix: Vec<f32> = (0..rows * columns)
        .map(
            |index| {
                if never_read(index / columns, index % columns) { f32::NAN } else { value(index) }
            },
        )
        .collect();
    let input: Vec<f32> = (0..count * input_len)
        .map(
            |index| {
                if is_zero(index % input_len) || index % 5 == 0 { 0.0 } else { value(index + 7) }
            },
        )
        .collect();
    let bias: Vec<f32> = (0..output_len).map(|index| value(index * 3)).collect();
    let bytes: Vec<u8> =
        [0].into_iter().chain(matrix.iter().flat_map(|value| value.to_ne_bytes())).collect();
    let whole = Matrix { bytes: &bytes[1..], rows, columns };
    for (isa, bias) in
        Isa::available().into_iter().flat_map(|isa| [(isa, None), (isa, Some(&bias[..]))])
    {
        let mut output = vec![f32::NAN; count * output_len];
        let operands = Operands { input: &input, matrix: whole, bias };
        if transposed {
            row_dots::gemv(row_dots::kernel_for(isa), operands, &mut output, executor);
        } else {
            row_sums::gemv(row_sums::kernel_for(isa), operands, &mut output, executor);
        }
        for (index, &got) in output.iter().enumerate() {
            let (n, column) = (index / output_len, index % output_len);
            let mut size = 1.0;
            let expected: f64 = (0..input_len)
                .filter(|&i| input[n * input_len + i] != 0.0)
                .map(|i| {
                    let weight = if transposed { whole.at(column, i) } else { whole.at(i, column) };
                    f64::from(input[n * input_len + i]) * f64::from(weight)
                })
                .inspect(|term| size += term.abs())
                .sum::<f64>()
                + bias.map_or(0.0, |bias| f64::from(bias[column]));
            assert!(
                (f64::from(got) - expected).abs() < 1e-6 * size,
                "{isa:?} {count}x{rows}x{columns}: output ({n}, {column}) is {got} \
                 instead of {expected}"
            );
        }
    }
}

#[test]
fn gemv_reads_exactly_the_rows_with_a_nonzero_input() {
    for (count, shape) in
        [(1, [270, 5003]), (3, [20, 7]), (8, [303, 32]), (9, [5, 1000]), (17, [261, 530])]
    {
        check(count, shape, false, &ScopedThreads(2));
    }
    check(2, [300, 513], false, &Serial);
}

#[test]
fn gemv_transposed_skips_blocks_of_columns_where_all_inputs_are_zero() {
    for (count, shape) in
        [(1, [50, 5003]), (3, [7, 20]), (8, [32, 303]), (9, [1000, 5]), (17, [131, 530])]
    {
        check(count, shape, true, &ScopedThreads(2));
    }
    check(2, [2, 513], true, &Serial);
}

#[test]
fn an_all_zero_input_returns_the_bias() {
    let (bytes, bias) = (vec![0xff; 64 * 64 * 4], [3.0; 64]);
    let matrix = Matrix { bytes: &bytes, rows: 64, columns: 64 };
    let mut output = [0.0; 64];
    gemv(&[0.0; 64], matrix, Some(&bias), &mut output, &Serial).unwrap();
    assert_eq!(output, bias);
    output.fill(0.0);
    gemv_transposed(&[0.0; 64], matrix, Some(&bias), &mut output, &Serial).unwrap();
    assert_eq!(output, bias);
}
