module deadweight.dev/tests/misbehave

go 1.21
