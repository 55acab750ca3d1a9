module tar-reader

go 1.21
