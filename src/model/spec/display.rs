//! The graphical session.

use super::text::ThemeName;
use crate::model::name::PackageName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The graphical session; absent means a text console.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Display {
    /// What draws on the screen; none when absent or `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-null" = true))]
    pub server: Option<DisplayServer>,
    /// The desktop or window manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compositor: Option<Compositor>,
    /// The status bar, such as `waybar` or `polybar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bar: Option<PackageName>,
    /// What starts programs, such as `wofi` or `rofi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launcher: Option<PackageName>,
    /// The terminal, such as `foot` or `alacritty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<PackageName>,
    /// The theme of windows and widgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theme: Option<ThemeName>,
    /// What shows notifications, such as `mako` or `dunst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<PackageName>,
}

/// What draws on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DisplayServer {
    /// Wayland: the compositor draws.
    Wayland,
    /// The X server.
    Xorg,
}

impl DisplayServer {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wayland => "wayland",
            Self::Xorg => "xorg",
        }
    }
}

/// Desktops and window managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compositor {
    /// Hyprland, tiling, Wayland only.
    Hyprland,
    /// Sway, tiling, Wayland only.
    Sway,
    /// i3, tiling, X only.
    I3,
    /// GNOME, a whole desktop.
    Gnome,
    /// KDE Plasma, a whole desktop.
    Kde,
    /// Xfce, a whole desktop on X.
    Xfce,
    /// dwm, tiling, X only.
    Dwm,
    /// bspwm, tiling, X only.
    Bspwm,
}

impl Compositor {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hyprland => "hyprland",
            Self::Sway => "sway",
            Self::I3 => "i3",
            Self::Gnome => "gnome",
            Self::Kde => "kde",
            Self::Xfce => "xfce",
            Self::Dwm => "dwm",
            Self::Bspwm => "bspwm",
        }
    }

    /// The servers it runs on, the better one first.
    pub fn servers(self) -> &'static [DisplayServer] {
        match self {
            Self::Hyprland | Self::Sway => &[DisplayServer::Wayland],
            Self::Gnome | Self::Kde => &[DisplayServer::Wayland, DisplayServer::Xorg],
            Self::I3 | Self::Xfce | Self::Dwm | Self::Bspwm => &[DisplayServer::Xorg],
        }
    }

    /// Whether it brings its own bar, launcher, terminal and notifications.
    pub fn is_desktop(self) -> bool {
        matches!(self, Self::Gnome | Self::Kde | Self::Xfce)
    }
}
