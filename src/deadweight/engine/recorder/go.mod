module deadweight.invalid/recorder

go 1.22
