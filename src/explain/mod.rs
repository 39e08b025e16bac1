//! The methods, each in a file named after it: pure maths on arrays.
