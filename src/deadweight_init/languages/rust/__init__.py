"""Find Rust programs and make image recipes."""
