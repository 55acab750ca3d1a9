module deadweight.dev/vulnerable-awk-playground

go 1.21
