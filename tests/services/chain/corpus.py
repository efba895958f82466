"""A few pages of an imaginary town library, and questions about them."""

from pathlib import Path

PAGES = {
    "opening.md": "# Opening hours\n\nThe library opens at nine in the morning on weekdays. On Saturdays it opens at "
    "ten and closes at four. It is closed on Sundays and on public holidays.",
    "lending.md": "# Lending\n\nA reader may borrow twelve books at a time. Books are lent for four weeks. A loan is "
    "extended twice at the most, unless somebody else has reserved the book.",
    "fines.md": "# Fines\n\nA late book costs twenty cents for each day. The fine for a lost book is its price and "
    "a fee of five euros. Children under twelve pay no fines.",
    "rooms.md": "# Reading rooms\n\nThe quiet reading room has forty desks. Group rooms are booked at the information "
    "desk, for two hours at a time. Laptops may be used in every room but the map room.",
    "printing.md": "# Printing and copying\n\nA printed page costs ten cents, in colour thirty cents. The printer "
    "stands beside the lift on the second floor. Copies of maps need the librarian's permission.",
    "membership.md": "# Membership\n\nA membership card costs fifteen euros a year. Students and pensioners pay "
    "seven euros. A lost card is replaced for three euros.",
    "events.md": "# Events\n\nA storyteller visits on the first Wednesday of each month. The book club meets in the "
    "garden in summer. Seats for readings can be reserved by telephone.",
}

QUESTIONS = [
    "How many books may a reader borrow at a time?",
    "When does the library open on weekdays?",
    "What does a late book cost for each day?",
    "How many desks has the quiet reading room?",
    "What does a printed page cost?",
    "How much is a membership card a year?",
]


def write_pages(folder: Path, **more: str) -> Path:
    """Write the pages, and more of them by name, to a folder; return the folder."""
    folder.mkdir(exist_ok=True)
    for name, text in {**PAGES, **{f"{key}.md": text for key, text in more.items()}}.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return folder
