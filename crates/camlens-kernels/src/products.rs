//! A product of few rows with a large matrix, which is as fast as the memory gives the matrix.
//!
//! A classifier's first fully connected layer holds most of its numbers (VGG16's: 411 MB),
//! and each is used once for an image. So all that counts is to ask the memory in time,
//! to use what it gave for every row of a batch, and not to ask for what is multiplied by
//! zero: the input of the layer is zero wherever a ReLU was shut, and so is the
//! gradient that comes back to it. Leaving that out is exact.
//!
//! A matrix that lies as `[inputs, outputs]` is summed up row by row (`sums`); one that lies as
//! `[outputs, inputs]` is multiplied along its rows (`dots`).

mod dots;
mod sums;

use crate::lanes::Lanes;
use crate::pool::Pool;
use crate::simd::{Portable, Processor};

/// Rows of the matrix that are worked on at once.
const ROWS: usize = 4;

/// Inputs for which the matrix is read once.
const INPUTS: usize = 8;

/// The bytes of a block in the matrix.
const BLOCK_BYTES: usize = Lanes::COUNT * size_of::<f32>();

/// A matrix of 32-bit floats, `[rows, columns]`, as bytes: in a mapped file it is aligned to
/// nothing.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Row after row, in the machine's byte order.
    pub bytes: &'a [u8],
    /// How many there are.
    pub rows: usize,
    /// How many there are.
    pub columns: usize,
}

impl Matrix<'_> {
    fn row_bytes(&self) -> usize {
        self.columns * size_of::<f32>()
    }

    /// The number at a place.
    fn at(&self, row: usize, column: usize) -> f32 {
        let from = row * self.row_bytes() + column * size_of::<f32>();
        self.bytes[from..].first_chunk().map_or(f32::NAN, |bytes| f32::from_ne_bytes(*bytes))
    }
}

/// What is multiplied, and what is added to it.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// One input after another.
    input: &'a [f32],
    matrix: Matrix<'a>,
    bias: Option<&'a [f32]>,
}

impl Operands<'_> {
    /// Checks the lengths that a product relies on, for inputs of `wide` numbers and outputs of
    /// `high`.
    fn check(&self, wide: usize, high: usize, output: &[f32]) {
        let Self { input, matrix, bias } = self;
        assert_eq!(matrix.bytes.len(), matrix.rows * matrix.row_bytes(), "the matrix's length");
        assert!(wide > 0 && input.len().is_multiple_of(wide), "the input's length");
        assert_eq!(output.len(), input.len() / wide * high, "the output's length");
        assert!(bias.is_none_or(|bias| bias.len() == high), "the bias's length");
    }

    /// What an output starts from.
    fn start(&self, place: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[place])
    }
}

/// `output[n][j] = Σ_i input[n][i] · matrix[i][j] (+ bias[j])`, for `input` `[N, rows]` and
/// `output` `[N, columns]`.
///
/// A row of the matrix is read only if some input is not zero there, so infinity and NaN in the
/// matrix may not reach the output through a zero.
///
/// # Panics
/// When a slice is not as long as its shape says.
pub fn product(
    input: &[f32],
    matrix: Matrix<'_>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    threads: &dyn Pool,
) {
    let operands = Operands { input, matrix, bias };
    operands.check(matrix.rows, matrix.columns, output);
    sums::product(Loops::of(Processor::detect()), operands, output, threads);
}

/// `output[n][i] = Σ_j input[n][j] · matrix[i][j] (+ bias[i])`, for `input` `[N, columns]` and
/// `output` `[N, rows]`.
///
/// Where all inputs are zero in a long run of columns, those are not read, so infinity and NaN in
/// the matrix may not reach the output through a zero.
///
/// # Panics
/// When a slice is not as long as its shape says.
pub fn product_transposed(
    input: &[f32],
    matrix: Matrix<'_>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    threads: &dyn Pool,
) {
    let operands = Operands { input, matrix, bias };
    operands.check(matrix.columns, matrix.rows, output);
    dots::product(Loops::of(Processor::detect()), operands, output, threads);
}

/// The inner loops for one kind of processor.
#[derive(Clone, Copy)]
struct Loops {
    dots: unsafe fn(&mut dots::Job<'_>),
    sums: unsafe fn(&mut sums::Job<'_>),
}

impl Loops {
    const fn of(processor: Processor) -> Self {
        match processor {
            Processor::Portable => portable::LOOPS,
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2 => avx2::LOOPS,
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 => avx512::LOOPS,
            #[cfg(target_arch = "aarch64")]
            Processor::Neon => neon::LOOPS,
        }
    }
}

/// Builds the loops for one implementation of [`crate::simd::Simd`]; `$inputs` is for how many
/// inputs the sums of [`ROWS`] rows fit into its registers.
macro_rules! loops {
    ($module:ident, $simd:ty, $inputs:literal, $(#[$features:meta])?) => {
        mod $module {
            use super::*;

            pub(super) const LOOPS: Loops = Loops { dots, sums };

            $(#[$features])?
            unsafe fn dots(job: &mut dots::Job<'_>) {
                // SAFETY: the caller's promise, which includes that the processor has the features.
                unsafe { dots::run::<$simd, $inputs>(job) }
            }

            $(#[$features])?
            unsafe fn sums(job: &mut sums::Job<'_>) {
                // SAFETY: as above.
                unsafe { sums::run::<$simd>(job) }
            }
        }
    };
}

loops!(portable, Portable, 1,);
#[cfg(target_arch = "x86_64")]
loops!(avx2, crate::simd::x86::Avx2, 1, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
loops!(avx512, crate::simd::x86::Avx512, 4, #[target_feature(enable = "avx512f")]);
#[cfg(target_arch = "aarch64")]
loops!(neon, crate::simd::arm::Neon, 1,);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Scoped, Serial};

    fn value(index: usize) -> f32 {
        ((index * 37 % 101) as f32 / 101.0) - 0.5
    }

    /// Where the tests' inputs are zero: single places, and a run over more than a block.
    fn is_zero(place: usize) -> bool {
        place % 67 == 1 || (100..260).contains(&place)
    }

    /// A matrix at an odd address, with NaN wherever nothing may be read, on every kind of
    /// processor.
    fn check(count: usize, [rows, columns]: [usize; 2], transposed: bool, threads: &dyn Pool) {
        let (wide, high) = if transposed { (columns, rows) } else { (rows, columns) };
        let never_read = |row: usize, column: usize| {
            if transposed { (112..256).contains(&column) && columns > 256 } else { is_zero(row) }
        };
        let matrix: Vec<f32> =
            (0..rows * columns)
                .map(|index| {
                    if never_read(index / columns, index % columns) {
                        f32::NAN
                    } else {
                        value(index)
                    }
                })
                .collect();
        let input: Vec<f32> = (0..count * wide)
            .map(
                |index| {
                    if is_zero(index % wide) || index % 5 == 0 { 0.0 } else { value(index + 7) }
                },
            )
            .collect();
        let bias: Vec<f32> = (0..high).map(|index| value(index * 3)).collect();
        let bytes: Vec<u8> =
            [0].into_iter().chain(matrix.iter().flat_map(|value| value.to_ne_bytes())).collect();
        let whole = Matrix { bytes: &bytes[1..], rows, columns };
        for (processor, bias) in
            Processor::all().into_iter().flat_map(|kind| [(kind, None), (kind, Some(&bias[..]))])
        {
            let mut output = vec![f32::NAN; count * high];
            let run = if transposed { dots::product } else { sums::product };
            run(
                Loops::of(processor),
                Operands { input: &input, matrix: whole, bias },
                &mut output,
                threads,
            );
            for (index, &got) in output.iter().enumerate() {
                let (n, place) = (index / high, index % high);
                let mut size = 1.0;
                let expected: f64 = (0..wide)
                    .filter(|&i| input[n * wide + i] != 0.0)
                    .map(|i| {
                        let weight =
                            if transposed { whole.at(place, i) } else { whole.at(i, place) };
                        f64::from(input[n * wide + i]) * f64::from(weight)
                    })
                    .inspect(|term| size += term.abs())
                    .sum::<f64>()
                    + bias.map_or(0.0, |bias| f64::from(bias[place]));
                assert!(
                    (f64::from(got) - expected).abs() < 1e-6 * size,
                    "{processor:?} {count}x{rows}x{columns}: {n},{place}: {got} for {expected}"
                );
            }
        }
    }

    #[test]
    fn rows_that_meet_zeros_are_not_read_and_all_others_are() {
        for (count, shape) in
            [(1, [270, 5003]), (3, [20, 7]), (8, [303, 32]), (9, [5, 1000]), (17, [261, 530])]
        {
            check(count, shape, false, &Scoped(2));
        }
        check(2, [300, 513], false, &Serial);
    }

    #[test]
    fn columns_that_meet_zeros_are_not_read_and_all_others_are() {
        for (count, shape) in
            [(1, [50, 5003]), (3, [7, 20]), (8, [32, 303]), (9, [1000, 5]), (17, [131, 530])]
        {
            check(count, shape, true, &Scoped(2));
        }
        check(2, [2, 513], true, &Serial);
    }

    #[test]
    fn an_input_of_zeros_gives_the_bias() {
        let (bytes, bias) = (vec![0xff; 64 * 64 * 4], [3.0; 64]);
        let matrix = Matrix { bytes: &bytes, rows: 64, columns: 64 };
        let mut output = [0.0; 64];
        product(&[0.0; 64], matrix, Some(&bias), &mut output, &Serial);
        assert_eq!(output, bias);
        output.fill(0.0);
        product_transposed(&[0.0; 64], matrix, Some(&bias), &mut output, &Serial);
        assert_eq!(output, bias);
    }
}
