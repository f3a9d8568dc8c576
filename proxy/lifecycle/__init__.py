"""The life of engines outside: acts on them, watches over them, their adoption, and the memory they take."""
