module deadweight.invalid/vulnerable

go 1.22
