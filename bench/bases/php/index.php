<?php
header("Content-Type: text/plain");
echo $_SERVER["REQUEST_URI"] === "/healthz" ? "ok" : implode(" ", array_map("strtolower", get_loaded_extensions()));
