"""Write the book's page on bad input."""

from bad_input.table import PAGE, page

PAGE.write_text(page(), encoding="utf-8")
print(f"wrote {PAGE.name}")
