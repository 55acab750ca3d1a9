module deadweight.invalid/helper

go 1.22
