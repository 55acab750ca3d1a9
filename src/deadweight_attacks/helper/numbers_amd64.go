package main

// System calls that Go's syscall package does not name everywhere (Linux, arch/x86/entry/syscalls/syscall_64.tbl).
const (
	sysPtrace         = 101
	sysSyslog         = 103
	sysInitModule     = 175
	sysAddKey         = 248
	sysKeyctl         = 250
	sysPerfEventOpen  = 298
	sysNameToHandleAt = 303
	sysOpenByHandleAt = 304
	sysProcessVMReadv = 310
	sysMemfdCreate    = 319
	sysBpf            = 321
	sysUserfaultfd    = 323
	sysIoUringSetup   = 425
	sysShmctl         = 31
	sysSettimeofday   = 164
	sysKexecLoad      = 246
	sysClockAdjtime   = 305
	sysFinitModule    = 313
	sysKexecFileLoad  = 320
	sysExecveat       = 322
)
