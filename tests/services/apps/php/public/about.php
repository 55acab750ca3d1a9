<h1>About</h1>
