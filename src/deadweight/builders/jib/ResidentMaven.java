import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * One Maven that stays: it takes builds of one project over a Unix socket, one at a time, and ends itself when nobody comes.
 *
 * <p>Arguments: the socket, Maven's home, idle seconds. A request is a length and that many bytes of UTF-8 strings with a zero
 * byte after each: Maven's multi-module folder, the working folder, Maven's arguments. The answer is frames: 1, a length and
 * output; 0 and the exit code, which ends it; 2 where a build is going on already. Who hangs up has cancelled: everything ends.
 *
 * <p>MavenCli.doMain is the entry that Maven keeps for those who embed it (maven-embedder 3.x).
 */
public final class ResidentMaven {
  private static final byte END = 0;
  private static final byte OUTPUT = 1;
  private static final byte BUSY = 2;
  private static final int MAX_REQUEST = 4 << 20;
  private static final int MAX_BUILDS = 200;
  private static final long MAX_HEAP_BYTES = 512L << 20;

  private final Path socket;
  private final Object socketKey;
  private final Object world;
  private final ClassLoader realm;
  private final Properties properties;
  private final AtomicBoolean busy = new AtomicBoolean();
  private volatile long lastUse = System.nanoTime();
  private int builds;

  private ResidentMaven(Path socket, Path home) throws Exception {
    this.socket = socket;
    this.socketKey = fileKey(socket);
    System.setProperty("maven.home", home.toString());
    Class<?> type = Class.forName("org.codehaus.plexus.classworlds.launcher.Launcher");
    Object launcher = type.getConstructor().newInstance();
    type.getMethod("setSystemClassLoader", ClassLoader.class).invoke(launcher, ResidentMaven.class.getClassLoader());
    try (InputStream file = Files.newInputStream(home.resolve("bin/m2.conf"))) {
      type.getMethod("configure", InputStream.class).invoke(launcher, file);
    }
    world = type.getMethod("getWorld").invoke(launcher);
    realm = (ClassLoader) type.getMethod("getMainRealm").invoke(launcher);
    properties = (Properties) System.getProperties().clone();
  }

  public static void main(String[] arguments) throws Exception {
    Path socket = Path.of(arguments[0]);
    long idleNanos = Long.parseLong(arguments[2]) * 1_000_000_000L;
    ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    server.bind(UnixDomainSocketAddress.of(socket));
    ResidentMaven maven = new ResidentMaven(socket, Path.of(arguments[1]));
    Thread watch = new Thread(() -> maven.watch(idleNanos), "watch");
    watch.setDaemon(true);
    watch.start();
    while (true) {
      SocketChannel client = server.accept();
      Thread worker = new Thread(() -> maven.serve(client), "build");
      worker.start();
    }
  }

  /**
   * Ends the process once it was idle for so long, or once its socket is gone or another's: then nobody can reach it any more. A
   * build that is going on comes to its end first.
   */
  private void watch(long idleNanos) {
    while (true) {
      boolean unused = System.nanoTime() - lastUse > idleNanos || !reachable();
      if (unused && busy.compareAndSet(false, true)) {
        end(0);
      }
      try {
        Thread.sleep(1000);
      } catch (InterruptedException ignored) {
        end(0);
      }
    }
  }

  private void serve(SocketChannel client) {
    try (client) {
      int length = read(client, 4).getInt();
      if (length < 0 || length > MAX_REQUEST) {
        return;
      }
      String[] words = split(read(client, length).array());
      if (!busy.compareAndSet(false, true)) {
        write(client, ByteBuffer.wrap(new byte[] {BUSY}));
        return;
      }
      AtomicBoolean done = new AtomicBoolean();
      try {
        endWithClient(client, done);
        int code = build(words, new Frames(client));
        if (reachable()) {
          Files.setLastModifiedTime(socket, FileTime.from(Instant.now())); // who was used last goes last
        }
        done.set(true); // before the client knows: it hangs up at once
        write(client, ByteBuffer.allocate(5).put(END).putInt(code).flip());
      } finally {
        lastUse = System.nanoTime();
        busy.set(false);
      }
    } catch (EOFException nothingAsked) {
      return; // somebody only looked whether we are here
    } catch (Exception error) {
      error.printStackTrace();
      end(1); // the client finds no exit code and takes Maven as it is
    }
    rest();
  }

  /** After a build, while nobody waits: give memory back; end where a build has left too much behind. */
  private void rest() {
    System.gc();
    Runtime runtime = Runtime.getRuntime();
    if (++builds >= MAX_BUILDS || runtime.totalMemory() - runtime.freeMemory() > MAX_HEAP_BYTES) {
      end(0);
    }
  }

  private void endWithClient(SocketChannel client, AtomicBoolean done) {
    Thread watch =
        new Thread(
            () -> {
              try {
                client.read(ByteBuffer.allocate(1));
              } catch (IOException gone) {
                // the same as the end of the stream
              }
              if (!done.get()) {
                end(130);
              }
            },
            "client");
    watch.setDaemon(true);
    watch.start();
  }

  private int build(String[] words, OutputStream sink) throws Exception {
    PrintStream out = new PrintStream(sink, true, StandardCharsets.UTF_8);
    PrintStream before = System.out;
    PrintStream beforeErrors = System.err;
    Properties fresh = (Properties) properties.clone(); // a build's -D words become system properties
    fresh.setProperty("maven.multiModuleProjectDirectory", words[0]);
    System.setProperties(fresh);
    System.setOut(out);
    System.setErr(out);
    Thread.currentThread().setContextClassLoader(realm);
    try {
      Class<?> type = realm.loadClass("org.apache.maven.cli.MavenCli");
      Object cli = type.getConstructor(world.getClass()).newInstance(world);
      return (int)
          type.getMethod("doMain", String[].class, String.class, PrintStream.class, PrintStream.class)
              .invoke(cli, Arrays.copyOfRange(words, 2, words.length), words[1], out, out);
    } finally {
      out.flush();
      System.setOut(before);
      System.setErr(beforeErrors);
    }
  }

  private void end(int code) {
    try {
      if (reachable()) {
        Files.deleteIfExists(socket);
      }
    } catch (IOException ignored) {
      // the folder is gone, and the socket with it
    }
    ProcessHandle.current().descendants().forEach(ProcessHandle::destroyForcibly); // what a cancelled build has started
    Runtime.getRuntime().halt(code);
  }

  /** False also where the socket was gone before we could look at it. */
  private boolean reachable() {
    return socketKey != null && socketKey.equals(fileKey(socket));
  }

  /** Null where there is no such file. */
  private static Object fileKey(Path file) {
    try {
      return Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS).fileKey();
    } catch (IOException gone) {
      return null;
    }
  }

  private static String[] split(byte[] request) {
    String text = new String(request, StandardCharsets.UTF_8);
    return text.isEmpty() ? new String[0] : text.substring(0, text.length() - 1).split("\0", -1);
  }

  // Not by Channels' streams: there, one direction of a channel waits for the other.

  private static ByteBuffer read(SocketChannel client, int length) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(length);
    while (buffer.hasRemaining()) {
      if (client.read(buffer) < 0) {
        throw new EOFException();
      }
    }
    return buffer.flip();
  }

  private static void write(SocketChannel client, ByteBuffer buffer) throws IOException {
    synchronized (client) {
      while (buffer.hasRemaining()) {
        client.write(buffer);
      }
    }
  }

  /** Output as frames. */
  private static final class Frames extends OutputStream {
    private final SocketChannel client;
    private final ByteArrayOutputStream pending = new ByteArrayOutputStream();

    Frames(SocketChannel client) {
      this.client = client;
    }

    @Override
    public synchronized void write(int one) {
      pending.write(one);
    }

    @Override
    public synchronized void write(byte[] bytes, int offset, int length) {
      pending.write(bytes, offset, length);
    }

    @Override
    public synchronized void flush() throws IOException {
      if (pending.size() > 0) {
        byte[] bytes = pending.toByteArray();
        pending.reset();
        ResidentMaven.write(client, ByteBuffer.allocate(5 + bytes.length).put(OUTPUT).putInt(bytes.length).put(bytes).flip());
      }
    }
  }
}
