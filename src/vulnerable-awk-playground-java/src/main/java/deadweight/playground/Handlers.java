package deadweight.playground;

import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The threads that read and answer requests. Each request holds one, also while its script waits for a slot or its caller is
 * slow, so there are more of them than scripts may run: {@code /healthz} is answered beside them.
 *
 * <p>Threads count against a container's pid limit. A script can fill it, and from then on no thread can be started: some are
 * there from the start, and a request for which none can be started waits for one of those.
 */
final class Handlers extends ThreadPoolExecutor {
  private static final int FROM_THE_START = 16;
  /** More than scripts may run at the same time. */
  private static final int SPARE = 24;
  private static final int IDLE_SECONDS = 10;

  private final AtomicInteger held = new AtomicInteger();
  private final Line line;

  Handlers(int scripts) {
    this(scripts, new Line());
  }

  private Handlers(int scripts, Line line) {
    super(FROM_THE_START, scripts + SPARE, IDLE_SECONDS, TimeUnit.SECONDS, line);
    this.line = line;
    line.handlers = this;
    setRejectedExecutionHandler((request, pool) -> line.append(request));
  }

  @Override
  public void execute(Runnable request) {
    held.incrementAndGet();
    try {
      super.execute(request);
    } catch (OutOfMemoryError noThread) {
      line.append(request);
    }
  }

  @Override
  protected void afterExecute(Runnable request, Throwable thrown) {
    held.decrementAndGet();
  }

  /** A pool starts another thread only when its queue takes no more: this one takes none while every thread is held. */
  private static final class Line extends LinkedBlockingQueue<Runnable> {
    private static final long serialVersionUID = 1L;
    private transient volatile Handlers handlers;

    @Override
    public boolean offer(Runnable request) {
      int threads = handlers.getPoolSize();
      boolean more = handlers.held.get() > threads && threads < handlers.getMaximumPoolSize();
      return !more && append(request);
    }

    boolean append(Runnable request) {
      return super.offer(request);
    }
  }
}
