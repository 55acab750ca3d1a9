package deadweight.playground;

import java.time.Duration;

/** What a run gave. {@code exitCode} is 128 plus the signal's number where a signal ended awk. */
record Finished(String stdout, String stderr, int exitCode, Duration duration, boolean truncated) {}
