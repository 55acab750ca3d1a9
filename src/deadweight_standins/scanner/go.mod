module deadweight.invalid/scanner

go 1.22
