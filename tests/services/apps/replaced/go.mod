module example.com/orders

go 1.22

require (
	example.com/ids v0.0.0
	github.com/go-chi/chi/v5 v5.1.0
)

replace example.com/ids => ./ids
