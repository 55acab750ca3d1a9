defmodule Shop do
  def get("/health"), do: "ok"
  def get("/prices"), do: "tea 3"
  def get("/file"), do: File.read!("/etc/words")
  def get("/late"), do: Base.encode16(:crypto.hash(:sha256, "tea"))
  def get("/version"), do: System.get_env("SHOP_VERSION") <> " " <> System.get_env("GREETING")
  def get("/save"), do: if(File.write("/data/last", "x") == :ok, do: "saved", else: "lost")
  def get("/user"), do: hd(Regex.run(~r/\n(\w+):x:1234:/, File.read!("/etc/passwd"), capture: :all_but_first))
  def get(_), do: nil

  def serve(server) do
    {:ok, client} = :gen_tcp.accept(server)
    case :gen_tcp.recv(client, 0, 5000) do
      {:ok, request} ->
        [_, path | _] = String.split(request, " ")
        body = get(path)
        status = if body, do: "200 OK", else: "404 Not Found"
        body = body || "none"
        head = "HTTP/1.1 #{status}\r\nContent-Type: text/plain\r\nContent-Length: #{byte_size(body)}\r\nConnection: close\r\n\r\n"
        :gen_tcp.send(client, head <> body)
      _ -> :ok
    end
    :gen_tcp.close(client)
    serve(server)
  end
end

{:ok, server} = :gen_tcp.listen(8080, [:binary, active: false, reuseaddr: true])
Shop.serve(server)
