module deadweight.invalid/tunnel

go 1.22
