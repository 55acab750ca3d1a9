Deno.serve({ port: 8080 }, () => new Response("ok"))
