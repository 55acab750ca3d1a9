module deadweight.invalid/asked

go 1.22
