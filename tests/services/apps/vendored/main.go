package main

import (
	"log"
	"net/http"

	"github.com/go-chi/chi/v5"
)

func main() {
	routes := chi.NewRouter()
	routes.Get("/livez", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("alive")) })
	log.Fatal(http.ListenAndServe(":6060", routes))
}
