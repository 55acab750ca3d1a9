package main

// System calls that Go's syscall package does not name everywhere (Linux, include/uapi/asm-generic/unistd.h).
const (
	sysInitModule     = 105
	sysSyslog         = 116
	sysPtrace         = 117
	sysAddKey         = 217
	sysKeyctl         = 219
	sysPerfEventOpen  = 241
	sysNameToHandleAt = 264
	sysOpenByHandleAt = 265
	sysProcessVMReadv = 270
	sysMemfdCreate    = 279
	sysBpf            = 280
	sysUserfaultfd    = 282
	sysIoUringSetup   = 425
	sysShmctl         = 195
	sysSettimeofday   = 170
	sysKexecLoad      = 104
	sysClockAdjtime   = 266
	sysFinitModule    = 273
	sysKexecFileLoad  = 294
	sysExecveat       = 281
)
