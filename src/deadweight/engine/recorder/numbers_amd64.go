package main

const (
	auditArchitecture = 0xc000003e // AUDIT_ARCH_X86_64
	sysSeccomp        = 317
	sysExecveat       = 322
	sysOpen           = 2
	sysStat           = 4
	sysLstat          = 6
	sysAccess         = 21
	sysStatAt         = 262
	sysStatx          = 332
)
