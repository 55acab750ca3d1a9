"""The tightest way to run a variant under which its checks still pass: found by trying, written for three platforms."""
