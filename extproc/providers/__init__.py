"""One dialect a file: where texts, usage and errors are. Same dialect in and out passes bytes untouched."""
