"""What scenarios are made of: ways to deal images to clients, and exams."""
