module deadweight.invalid/secret-rules

go 1.24

require (
	github.com/betterleaks/betterleaks v1.7.0
	github.com/zricethezav/gitleaks/v8 v8.30.1
)
