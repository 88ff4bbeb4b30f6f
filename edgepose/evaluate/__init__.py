"""How right the key points are: AP, AR and PCKh on annotated images."""
