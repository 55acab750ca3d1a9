package main

// System calls that have the same number on every processor.
const (
	sysIoUringEnter = 426
	sysOpenTree     = 428
	sysMoveMount    = 429
	sysFsopen       = 430
	sysFsconfig     = 431
	sysFsmount      = 432
	sysClone3       = 435
	sysMountSetattr = 442
)
