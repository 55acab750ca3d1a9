module deadweight.invalid/secret-rules

go 1.24

require github.com/zricethezav/gitleaks/v8 v8.30.1
